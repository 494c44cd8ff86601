// The servers of TestInternet's hosts. Prints "ready", a line for whatever arrives that is worth
// knowing, and "end" when it is asked for a report. Ends with its standard input.
import { createSocket } from "node:dgram";
import { createServer as createHttpServer } from "node:http";
import { createServer } from "node:net";
import { createInterface } from "node:readline";

const hosts = JSON.parse(process.argv[2] ?? "{}") as Record<string, string>;
const { web, other, dns, neighbour } = hosts;

const NAMES: Readonly<Record<string, string | undefined>> = {
  "web.test": web,
  "other.test": other,
  "a.b.wild.test": other,
  "inside.test": neighbour,
};

const FLOOD_PORT = 19;
/** More packets at a time than a guest's card has room for, each time before it has taken them all. */
const FLOOD_BURST = 128;
const FLOOD_MS = 10;
const FLOOD_REPEATS = 60;
/** Nobody is flooded for ever. */
const FLOOD_PACKETS = 1_000_000;

const say = (line: string) => process.stdout.write(`${line}\n`);
const up: Promise<unknown>[] = [];

for (const address of Object.values(hosts)) {
  const http = createHttpServer((_request, response) => response.end(`hello from ${address}\n`));
  up.push(new Promise<void>((resolve) => http.listen(80, address, resolve)));
  const echo = createServer((socket) => {
    socket.on("error", () => undefined);
    socket.pipe(socket);
  });
  up.push(new Promise<void>((resolve) => echo.listen(7, address, resolve)));
  const udp = createSocket(address.includes(":") ? "udp6" : "udp4");
  udp.on("message", (message, from) => {
    say(`udp ${address} ${message.length} ${message.toString("latin1", 0, 40)}`);
    udp.send(message, from.port, from.address, () => undefined);
  });
  up.push(new Promise<void>((resolve) => udp.bind(7, address, resolve)));
}

// Floods whoever says "start" until it says "stop", and says itself which packet each is.
const flood = createSocket("udp4");
const flooded = new Map<string, NodeJS.Timeout>();
const stopFlood = (key: string) => {
  clearInterval(flooded.get(key));
  flooded.delete(key);
};
flood.on("message", (message, { port, address }) => {
  const key = `${address}:${port}`;
  stopFlood(key);
  if (message.toString() !== "start") return;
  let sent = 0;
  const burst = () => {
    for (let i = 0; i < FLOOD_BURST; i++) {
      flood.send(
        String(sent++).padStart(16, "0").repeat(FLOOD_REPEATS),
        port,
        address,
        () => undefined,
      );
    }
    if (sent > FLOOD_PACKETS) stopFlood(key);
  };
  flooded.set(key, setInterval(burst, FLOOD_MS));
});
up.push(new Promise<void>((resolve) => flood.bind(FLOOD_PORT, web, resolve)));

// A resolver that knows four names, and tells of each that it is asked for.
const resolver = createSocket("udp4");
resolver.on("message", (query, from) => {
  const labels: string[] = [];
  let at = 12;
  for (let length = query.readUInt8(at); length > 0; length = query.readUInt8(at)) {
    labels.push(query.toString("latin1", at + 1, at + 1 + length));
    at += 1 + length;
  }
  const name = labels.join(".");
  const isA = query.readUInt16BE(at + 1) === 1;
  say(`dns ${name}`);
  const address = isA ? NAMES[name] : undefined;
  const head = Buffer.from(query.subarray(0, at + 5));
  head.writeUInt16BE(NAMES[name] === undefined ? 0x8183 : 0x8180, 2);
  head.writeUInt16BE(address === undefined ? 0 : 1, 6);
  head.writeUInt16BE(0, 10);
  const answer = Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4]);
  const bytes = Buffer.from((address ?? "").split(".").map(Number));
  resolver.send(
    address === undefined ? head : Buffer.concat([head, answer, bytes]),
    from.port,
    from.address,
  );
});
up.push(new Promise<void>((resolve) => resolver.bind(53, dns, resolve)));

await Promise.all(up);
say("ready");
const input = createInterface({ input: process.stdin });
input.on("line", () => say("end"));
input.on("close", () => process.exit());
