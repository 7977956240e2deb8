// The control plane: every host is owned and every slug is the same link.
export default {
  fetch(_request, env) {
    const domain = '{"version":1,"record":{}}';
    return new Response(`{"domain":${domain},"link":${env.RECORD}}`, { headers: { "content-type": "application/json" } });
  },
};
