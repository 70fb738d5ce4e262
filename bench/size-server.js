// A ZooKeeper, a nameserver and many tablets that answer with bytes created in advance. They run in a separate process, so that
// the measured process is the tool alone. Started by size.js with fork().
import { Server, ServerCredentials } from "@grpc/grpc-js";
import { TabletServer } from "../dist/gen/openmldb/api_pb.js";
import { NameServer } from "../dist/gen/openmldb/nameserver_pb.js";
import { putZnode } from "../dist/sandbox/table-store.js";
import { startZkServer } from "../dist/sandbox/zk-server.js";
import { ZnodeTree } from "../dist/sandbox/znode-tree.js";
import {
  askedFor,
  followerAnswers,
  loadedBytes,
  nameserverBytes,
  shapeOf,
  showTableBytes,
  statusBytes,
  tableBytes,
  termPairBytes,
} from "./size-data.js";

const { tables, isLoaded } = JSON.parse(process.argv[2]);
const pass = (bytes) => bytes;

const server = new Server({ "grpc.max_send_message_length": -1 });
const answers = new Map();

function serve(service, names, answerOf) {
  const definitions = names.map((name) => [
    name,
    {
      path: `/${service.typeName}/${name}`,
      requestStream: false,
      responseStream: false,
      requestSerialize: pass,
      requestDeserialize: pass,
      responseSerialize: pass,
      responseDeserialize: pass,
    },
  ]);
  const handlers = names.map((name) => [
    name,
    (call, reply) => reply(null, Buffer.from(answerOf(name, call))),
  ]);
  server.addService(Object.fromEntries(definitions), Object.fromEntries(handlers));
}

function bind() {
  return new Promise((resolve, reject) => {
    server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, port) =>
      error === null ? resolve(`127.0.0.1:${port}`) : reject(error),
    );
  });
}

const { tablets } = shapeOf(tables);
const nameserver = await bind();
const endpoints = [];
for (let index = 0; index < tablets; index += 1) endpoints.push(await bind());

for (const [name, bytes] of Object.entries(nameserverBytes(endpoints))) answers.set(name, bytes);
answers.set("ShowTable", showTableBytes(tables, endpoints));
const nothingLoaded = statusBytes();
const loaded = isLoaded ? loadedBytes(tables, endpoints) : new Map();
const followers = isLoaded ? followerAnswers(tables, endpoints) : new Map();

serve(NameServer, [...answers.keys()], (name) => answers.get(name));
const snapshot = termPairBytes();
serve(TabletServer, ["GetTableStatus", "GetTermPair", "GetTableFollower"], (name, call) => {
  if (name === "GetTermPair") return snapshot;
  if (name === "GetTableFollower") return followers.get(askedFor(call.request));
  return loaded.get(call.getHost()) ?? nothingLoaded;
});

const rootPath = "/openmldb";
const tree = new ZnodeTree(Date.now);
putZnode(tree, `${rootPath}/leader/lock_request0000000000`, nameserver);
for (const endpoint of endpoints) putZnode(tree, `${rootPath}/nodes/${endpoint}`, endpoint);
for (let tid = 1; tid <= tables; tid += 1) {
  putZnode(tree, `${rootPath}/table/db_table_data/${tid}`, tableBytes(tid, endpoints));
}
putZnode(tree, `${rootPath}/config/auto_failover`, "true");
const zk = await startZkServer({ tree });

process.send({
  zkCluster: `127.0.0.1:${zk.port}`,
  rootPath,
  nameserver,
  endpoints,
  bytes: answers.get("ShowTable").length,
});
process.on("disconnect", () => process.exit());
