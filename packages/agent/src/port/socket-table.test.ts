import { expect, test } from "vitest";
import { parseSocketTable } from "./socket-table.js";

test("reads the kernel's tables", () => {
  const table = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 12345 1 0000000000000000 100 0 0 10 0
   1: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 23456 1 0000000000000000 100 0 0 10 0
   2: 0100007F:1F90 0100007F:C350 01 00000000:00000000 00:00000000 00000000  1000        0 34567 1 0000000000000000 20 4 30 10 -1
`;
  expect(parseSocketTable(table)).toStrictEqual([
    { port: 8080, address: "127.0.0.1", inode: "12345" },
    { port: 22, address: "0.0.0.0", inode: "23456" },
  ]);
});

const line = (address: string) =>
  `   0: ${address}:0050 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0`;

test("reads the table of IPv6", () => {
  const addresses = [
    "00000000000000000000000000000000",
    "00000000000000000000000001000000",
    "0000000000000000FFFF00000100007F",
    "B80D0120000000000000000001000000",
  ].map((address) => parseSocketTable(line(address))[0]?.address);
  expect(addresses).toStrictEqual(["::", "::1", "127.0.0.1", "2001:db8::1"]);
});

test("takes nothing from what is no table", () => {
  expect(parseSocketTable("")).toStrictEqual([]);
  expect(parseSocketTable("\n0A 0A 0A\n: : 0A")).toStrictEqual([]);
});
