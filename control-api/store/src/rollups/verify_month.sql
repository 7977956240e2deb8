-- Counts where the rollups of one month differ from the sum of its days.
select count(*) as "differences!" from (
    select 1
    from (
        select dimension, key, human_link, human_qr, bot_link, bot_qr, human_partner
        from click_rollups where workspace_id = $1 and grain = 'month' and bucket = $2
        union all
        select dimension, key, -human_link, -human_qr, -bot_link, -bot_qr, -human_partner
        from click_rollups
        where workspace_id = $1 and grain = 'day' and bucket >= $2 and bucket < $2 + interval '1 month'
    ) c
    group by dimension, key
    having sum(human_link) <> 0 or sum(human_qr) <> 0 or sum(bot_link) <> 0 or sum(bot_qr) <> 0
        or sum(human_partner) <> 0
) d
