// Calls GetTableFollower of every leader of the cluster of size-server.js with @grpc/grpc-js alone: a lower bound for any
// observation that makes these 80,000 calls. Started with fork().
import { create, toBinary } from "@bufbuild/protobuf";
import { Channel, credentials, Metadata } from "@grpc/grpc-js";
import { GetTableFollowerRequestSchema, TabletServer } from "../dist/gen/openmldb/api_pb.js";
import { watchCost } from "./size-cost.js";
import { leadersOf } from "./size-data.js";

const AT_ONCE = 128;
const PATH = `/${TabletServer.typeName}/GetTableFollower`;

const { tables, endpoints } = JSON.parse(process.argv[2]);
const channels = new Map(
  endpoints.map((one) => [one, new Channel(`dns:${one}`, credentials.createInsecure(), {})]),
);
const metadata = new Metadata();
metadata.set("authorization", "sdefault");

function ask({ endpoint, tid, pid }) {
  const request = create(GetTableFollowerRequestSchema, { tid, pid });
  const channel = channels.get(endpoint);
  const call = channel.createCall(PATH, Number.POSITIVE_INFINITY, undefined, null, undefined);
  return new Promise((resolve, reject) => {
    let answer;
    call.start(metadata, {
      onReceiveMetadata: () => undefined,
      onReceiveMessage(message) {
        answer = message;
      },
      onReceiveStatus: (ended) => (ended.code === 0 ? resolve(answer) : reject(ended)),
    });
    call.sendMessageWithContext({}, Buffer.from(toBinary(GetTableFollowerRequestSchema, request)));
    call.halfClose();
    call.startRead();
  });
}

const cost = watchCost();
const began = performance.now();
const waiting = leadersOf(tables, endpoints);
const askOneByOne = async () => {
  for (const one of waiting) await ask(one);
};
await Promise.all(Array.from({ length: AT_ONCE }, askOneByOne));
process.send({ tookMs: performance.now() - began, ...cost() });
for (const channel of channels.values()) channel.close();
process.disconnect();
