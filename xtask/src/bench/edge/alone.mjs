// N and E: a worker without its queue. In the queue's place stands an object that does nothing, at once.
import worker from "./@WORKER@";

const inert = { send: () => inert, then: () => inert, waitUntil: () => {} };
let alone;

export default {
  fetch(request, env) {
    alone ??= { ...env, CLICKS: inert };
    return worker.fetch(request, alone, inert);
  },
};
