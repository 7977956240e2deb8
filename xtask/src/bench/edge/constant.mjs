// A: the least a redirect can cost in this runtime.
export default {
  fetch() {
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
