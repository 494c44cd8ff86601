import { OutputStream } from "@nullspace/proto/agent";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { KEPT_BYTES, OutputLog } from "./output-log.js";

const { STDOUT, STDERR } = OutputStream;

/** Everything from an offset on, as "o" and "e" per byte beside the bytes. */
function readAll(log: OutputLog, from: number, most: number) {
  const pieces: Buffer[] = [];
  let streams = "";
  for (let offset = from; ;) {
    const piece = log.read(offset, most);
    if (piece === undefined) break;
    expect(piece.offset).toBe(offset);
    pieces.push(piece.data);
    streams += (piece.stream === STDOUT ? "o" : "e").repeat(piece.data.length);
    offset += piece.data.length;
  }
  return { data: Buffer.concat(pieces), streams };
}

test("what is read is what was written, from any offset and in any pieces", () => {
  const write = fc.tuple(fc.constantFrom(STDOUT, STDERR), fc.uint8Array({ maxLength: 9000 }));
  fc.assert(
    fc.property(
      fc.array(write, { maxLength: 20 }),
      fc.nat(),
      fc.integer({ min: 1, max: 5000 }),
      (writes, at, most) => {
        const log = new OutputLog();
        for (const [stream, data] of writes) log.append(stream, Buffer.from(data));
        const data = Buffer.concat(writes.map(([, bytes]) => bytes));
        const streams = writes
          .map(([stream, bytes]) => (stream === STDOUT ? "o" : "e").repeat(bytes.length))
          .join("");
        const from = at % (data.length + 1);
        expect(log).toMatchObject({ start: 0, end: data.length });
        const read = readAll(log, from, most);
        expect(read.data.equals(data.subarray(from))).toBe(true);
        expect(read.streams).toBe(streams.slice(from));
      },
    ),
  );
});

test("keeps the last bytes once it is full", () => {
  const log = new OutputLog();
  const written: Buffer[] = [];
  for (let i = 0; i < 300; i++) {
    written.push(Buffer.alloc(1 + ((i * 7919) % 30_000), i));
    log.append(i % 3 === 0 ? STDERR : STDOUT, written.at(-1) ?? Buffer.alloc(0));
  }
  const all = Buffer.concat(written);
  expect(log.end).toBe(all.length);
  expect(log.start).toBe(all.length - KEPT_BYTES);
  expect(log.read(log.start - 1, 10)).toBeUndefined();
  expect(readAll(log, log.start, 10_000).data.equals(all.subarray(-KEPT_BYTES))).toBe(true);
});

test("a chunk larger than the ring leaves its end", () => {
  const log = new OutputLog();
  log.append(STDOUT, Buffer.from("before"));
  const chunk = Buffer.alloc(3 * KEPT_BYTES + 5);
  for (let i = 0; i < chunk.length; i++) chunk[i] = i % 251;
  log.append(STDERR, chunk);
  expect(readAll(log, log.start, 1 << 20).data.equals(chunk.subarray(-KEPT_BYTES))).toBe(true);
});

test("streams that alternate byte by byte stay bounded", () => {
  const log = new OutputLog();
  const byte = Buffer.from("x");
  for (let i = 0; i < 200_000; i++) log.append(i % 2 === 0 ? STDOUT : STDERR, byte);
  expect(log.end - log.start).toBeLessThanOrEqual(1 << 14);
  const { streams } = readAll(log, log.start, 100);
  expect(streams).toMatch(/^(oe)+$/);
});

test("what is let go of is the beginning; the rest and what follows are as they were", () => {
  const size = fc.integer({ min: 1, max: 30_000 });
  fc.assert(
    fc.property(fc.array(size, { minLength: 1, maxLength: 30 }), size, (sizes, over) => {
      const most = over + 4;
      const log = new OutputLog();
      const written = sizes.map((length, i) => Buffer.alloc(length, i + 1));
      const put = (data: Buffer, i: number) => log.append(i % 2 === 0 ? STDOUT : STDERR, data);
      written.forEach(put);
      const whole = readAll(log, 0, 4096);
      log.limit(most);
      const kept = readAll(log, log.start, 4096);
      expect(whole.data.subarray(log.start).equals(kept.data)).toBe(true);
      expect(whole.streams.slice(log.start)).toBe(kept.streams);
      expect(kept.data.length).toBeGreaterThanOrEqual(Math.min(most, whole.data.length));
      put(Buffer.from("more"), 0);
      expect(readAll(log, log.end - 4, 10).data.toString()).toBe("more");
    }),
  );
});
