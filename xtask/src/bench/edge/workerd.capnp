using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = [
    (name = "main", worker = .main),
    (name = "sink", worker = .sink),
    (name = "store", worker = .store),
    (name = "centre", worker = .centre)
  ],
  sockets = [
    (name = "http", address = "127.0.0.1:@PORT@", http = (), service = "main"),
    (name = "sink", address = "127.0.0.1:@SINK_PORT@", http = (), service = "sink")
  ]
);

const main :Workerd.Worker = (
  compatibilityDate = "@DATE@",
  compatibilityFlags = ["no_nodejs_compat", "no_nodejs_compat_v2"],
  modules = [ @MODULES@ ],
  globalOutbound = "centre",
  bindings = [
    (name = "CLICK", text = embed "click.json"),
    (name = "TABLES", text = embed "tables.json"),
    (name = "CLICKS", queue = "sink"),
    (name = "LINKS", kvNamespace = "store"),
    (name = "CONTROL_API_URL", text = "http://centre.example"),
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

const centre :Workerd.Worker = (
  compatibilityDate = "@DATE@",
  modules = [ (name = "centre.mjs", esModule = embed "centre.mjs") ],
  bindings = [ (name = "RECORD", text = embed "record.json") ]
);
