# The edge worker without Cloudflare: the very build that is deployed there, its KV namespaces on this machine's disk.
#
#   workerd serve edge-worker/self-hosted/workerd.capnp \
#     --socket-addr http=127.0.0.1:8787 --directory-path disk=/var/lib/nimriz/edge
#
# with CONTROL_API_URL, TOKEN_SECRETS and EDGE_SECRETS in the environment. The folder must exist. There is no queue: each
# click goes to control-api at once, in batches while there are many, and into the spool on disk while it is away.
using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = [
    (name = "edge", worker = .edge),
    (name = "store", worker = .store),
    (name = "disk", disk = (writable = true)),
    # control-api may be on this machine or in this network.
    (name = "internet", network = (allow = ["public", "private"], tlsOptions = (trustBrowserCas = true))),
  ],
  sockets = [(name = "http", address = "127.0.0.1:8787", http = (), service = "edge")],
);

const edge :Workerd.Worker = (
  # In step with wrangler.toml.
  compatibilityDate = "2026-10-15",
  compatibilityFlags = ["no_nodejs_compat", "no_nodejs_compat_v2"],
  modules = [
    (name = "worker.mjs", esModule = embed "../build/worker.mjs"),
    # By the name under which the bundle imports it.
    (name = "./worker.wasm", wasm = embed "../build/worker.wasm"),
  ],
  bindings = [
    (name = "CONTROL_API_URL", fromEnvironment = "CONTROL_API_URL"),
    (name = "TOKEN_SECRETS", fromEnvironment = "TOKEN_SECRETS"),
    (name = "EDGE_SECRETS", fromEnvironment = "EDGE_SECRETS"),
    # Records come by control-api's signed pushes.
    (name = "REPLICATION", text = "push"),
    (name = "LINKS", kvNamespace = (name = "store", entrypoint = "Links")),
    (name = "SPOOL", kvNamespace = (name = "store", entrypoint = "Spool")),
  ],
);

const store :Workerd.Worker = (
  compatibilityDate = "2026-10-15",
  compatibilityFlags = ["no_nodejs_compat", "no_nodejs_compat_v2"],
  modules = [(name = "store.mjs", esModule = embed "store.mjs")],
  bindings = [(name = "DISK", service = "disk")],
);
