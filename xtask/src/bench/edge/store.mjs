// The KV namespace: the same link under any host and slug, but for slugs that begin with `fill`.
export default {
  fetch(request, env) {
    const key = decodeURIComponent(new URL(request.url).pathname.slice(1));
    const held = key.startsWith("l:") && !key.includes("/fill");
    return held ? new Response(env.RECORD) : new Response(null, { status: 404 });
  },
};
