// B: A, and the least that handing over a click can cost: one that is always the same.
const TEXT = { contentType: "text" };

export default {
  fetch(_request, env, ctx) {
    ctx.waitUntil(env.CLICKS.send(env.CLICK, TEXT));
    return new Response(null, {
      status: 302,
      headers: {
        location: "https://acme.com/pricing?utm_source=nomura&utm_medium=partner",
        "cache-control": "private, no-store",
        "referrer-policy": "strict-origin-when-cross-origin",
      },
    });
  },
};
