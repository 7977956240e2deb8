using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = [ (name = "main", worker = .main), (name = "sink", worker = .sink), (name = "store", worker = .store) ],
  sockets = [ (name = "http", address = "127.0.0.1:@PORT@", http = (), service = "main") ]
);

const main :Workerd.Worker = (
  compatibilityDate = "@DATE@",
  compatibilityFlags = ["no_nodejs_compat", "no_nodejs_compat_v2"],
  modules = [ @MODULES@ ],
  bindings = [
    (name = "CLICK", text = embed "click.json"),
    (name = "CLICKS", queue = "sink"),
    (name = "LINKS", kvNamespace = "store"),
    (name = "CONTROL_API_URL", text = "http://127.0.0.1:9"),
    (name = "REPLICATION", text = "off"),
    (name = "TOKEN_SECRETS", text = "@SECRETS@"),
    (name = "EDGE_SECRETS", text = "@SECRETS@")
  ]
);

const sink :Workerd.Worker = (
  compatibilityDate = "@DATE@",
  modules = [ (name = "sink.mjs", esModule = embed "sink.mjs") ]
);

const store :Workerd.Worker = (
  compatibilityDate = "@DATE@",
  modules = [ (name = "store.mjs", esModule = embed "store.mjs") ],
  bindings = [ (name = "RECORD", text = embed "record.json") ]
);
