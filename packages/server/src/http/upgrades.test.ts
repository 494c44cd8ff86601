import type { IncomingMessage } from "node:http";
import { Duplex } from "node:stream";
import { text } from "node:stream/consumers";
import { expect, test } from "vitest";
import { SshRelay } from "../edge/ssh/relay.js";
import { createUpgrades } from "./upgrades.js";

const nobody = async () => {
  throw new Error("nobody gets so far");
};

function upgrades(requireTls: boolean) {
  const signal = new AbortController().signal;
  const sshRelay = new SshRelay({
    admit: nobody,
    dial: nobody,
    stopping: signal,
    onDefect: () => undefined,
  });
  const previews = {
    placeOf: ({ headers }: { headers: { host?: string | undefined } }) =>
      headers.host === "preview" ? ("none" as const) : undefined,
    upgrade: nobody,
  };
  return createUpgrades({ previews, sshRelay, requireTls });
}

function request(url: string, host: string, remoteAddress: string): IncomingMessage {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- What is read of a request.
  return {
    method: "GET",
    url,
    headers: { host, upgrade: "websocket" },
    socket: { remoteAddress, localAddress: "10.0.0.1" },
  } as unknown as IncomingMessage;
}

test("where TLS is asked for, who comes from elsewhere without gets neither previews nor SSH", async () => {
  for (const [requireTls, from, expected] of [
    [true, "203.0.113.8", false],
    [true, "127.0.0.1", true],
    [false, "203.0.113.8", true],
  ] as const) {
    const { wants } = upgrades(requireTls);
    expect(wants(request("/v1/ssh/m1", "api", from))).toBe(expected);
    expect(wants(request("/", "preview", from))).toBe(expected);
  }
  expect(await connected(true, "203.0.113.8")).toContain("HTTP/1.1 403 Forbidden");
  expect(await connected(false, "203.0.113.8")).toContain("HTTP/1.1 500 ");
});

/** What a CONNECT to a machine's SSH is answered. */
async function connected(requireTls: boolean, from: string): Promise<string> {
  const sent: Buffer[] = [];
  const socket = new Duplex({
    read: () => undefined,
    write(chunk: Buffer, _encoding, callback) {
      sent.push(chunk);
      callback();
    },
    final(callback) {
      this.push(null);
      callback();
    },
  });
  const read = text(socket);
  const asked = Object.assign(request("m1:22", "m1:22", from), { method: "CONNECT" });
  upgrades(requireTls).connect(asked, socket, Buffer.alloc(0));
  await read;
  return Buffer.concat(sent).toString();
}
