-- Removes values of one dimension that trimming left nothing of in a month.
delete from click_rollups
where workspace_id = $1 and dimension = $2 and grain = 'month' and bucket = date_trunc('month', $3::timestamptz, 'UTC')
    and human_link = 0 and human_qr = 0 and bot_link = 0 and bot_qr = 0
