// The queue: takes every message and forgets it.
const TAKEN = JSON.stringify({ metadata: { metrics: { backlogCount: 0, backlogBytes: 0, oldestMessageTimestamp: 0 } } });

export default {
  fetch() {
    return new Response(TAKEN, { headers: { "content-type": "application/json" } });
  },
};
