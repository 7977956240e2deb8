// A' and B': A and B that also read of the request what no click can do without. The runtime makes objects and texts of
// these for whoever asks, and parses `request.cf` for each request: no worker that knows its visitors is faster.
import worker from "./@WORKER@";

export default {
  fetch(request, env, ctx) {
    const headers = request.headers;
    void [request.url, headers.get("user-agent"), headers.get("referer"), headers.get("sec-purpose"), request.cf];
    return worker.fetch(request, env, ctx);
  },
};
