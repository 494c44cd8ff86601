// Runs inside a machine as root, in the place of its agent: answers its host as an agent does, and
// then floods it. Each connection is attacked in another way, as the arguments tell, in turn.
import { openSync, readdirSync, readFileSync, readSync, writeSync } from "node:fs";
import { join } from "node:path";

const PORTS = "/sys/class/virtio-ports";
const PREAMBLE_BYTES = 64;
const FLOOD_BYTES = 64 << 20;

/** A frame of HTTP/2. */
function frame(type: number, flags: number, stream: number, payload: Buffer): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head.writeUInt8(type, 3);
  head.writeUInt8(flags, 4);
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

const SETTINGS = frame(4, 0, 0, Buffer.alloc(0));
/** Status 200 by HPACK's own table, and a type that takes a length. */
const ANSWER = frame(1, 4, 1, Buffer.from([0x88]));

const FLOODS: Record<string, { first: Buffer; again: Buffer; answers: boolean }> = {
  noise: { first: Buffer.alloc(0), again: Buffer.alloc(64 << 10, 0x55), answers: false },
  pings: { first: SETTINGS, again: frame(6, 0, 0, Buffer.alloc(8)), answers: true },
  headers: {
    first: Buffer.concat([SETTINGS, frame(1, 0, 1, Buffer.from([0x88]))]),
    again: frame(9, 0, 1, Buffer.alloc(16_000, 0x88)),
    answers: true,
  },
  data: {
    first: Buffer.concat([SETTINGS, ANSWER]),
    again: frame(0, 0, 1, Buffer.alloc(16_000)),
    answers: true,
  },
  updates: {
    first: SETTINGS,
    again: frame(8, 0, 0, Buffer.from([0, 0, 0, 1])),
    answers: true,
  },
};

function openPort(name: string): number {
  for (const device of readdirSync(PORTS)) {
    if (readFileSync(join(PORTS, device, "name"), "utf8").trim() === name) {
      return openSync(join("/dev", device), "r+");
    }
  }
  throw new Error(`no port is called ${name}`);
}

/** Reads until there is something of a host; 0 bytes come while there is none. */
function readSome(port: number): Buffer {
  const bytes = Buffer.alloc(4096);
  for (;;) {
    const length = readSync(port, bytes, 0, bytes.length, null);
    if (length > 0) return bytes.subarray(0, length);
    // Blocks until a host is there.
    writeSync(port, Buffer.alloc(1));
  }
}

const port = openPort("nullspace.agent");
process.stdout.write("hostile: ready\n");
const names = process.argv.slice(2);
for (let turn = 0; ; turn++) {
  const name = names[turn % names.length] ?? "";
  const flood = FLOODS[name];
  if (flood === undefined) throw new Error(`no attack is called ${name}`);
  let received = Buffer.alloc(0);
  while (received.length < PREAMBLE_BYTES) received = Buffer.concat([received, readSome(port)]);
  if (flood.answers) writeSync(port, received.subarray(32, PREAMBLE_BYTES));
  writeSync(port, flood.first);
  const batch = Buffer.alloc(
    Math.max(1, Math.floor((32 << 10) / flood.again.length)) * flood.again.length,
  );
  for (let at = 0; at < batch.length; at += flood.again.length) flood.again.copy(batch, at);
  for (let sent = 0; sent < FLOOD_BYTES;) {
    // A host that has hung up takes nothing: the next one's preamble waits to be read.
    sent += writeSync(port, batch);
  }
  process.stdout.write(`hostile: ${name} is over\n`);
}
