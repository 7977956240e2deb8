// The KV namespace: one link, under any host.
export default {
  fetch(request, env) {
    const key = decodeURIComponent(new URL(request.url).pathname.slice(1));
    return key.endsWith("/hot") ? new Response(env.RECORD) : new Response(null, { status: 404 });
  },
};
