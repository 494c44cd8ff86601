import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { decodeMap, encodeMap, encodeTable, overlay } from "./memory-map.js";
import { PAGE_BYTES, type PageRun } from "./page-run.js";

const PAGES = 64;

/** Any set of pages as runs, at increasing places of a file. */
const maps = fc.uniqueArray(fc.nat(PAGES - 1)).map((pages): PageRun[] => {
  const runs: PageRun[] = [];
  let at = 0;
  for (const page of pages.toSorted((a, b) => a - b)) {
    const last = runs.at(-1);
    if (last !== undefined && last.page + last.pages === page) last.pages++;
    else runs.push({ page, pages: 1, at });
    at++;
  }
  return runs;
});

describe("overlay", () => {
  test("each page comes from the last layer that has it, and from the right place there", () => {
    fc.assert(
      fc.property(fc.array(maps, { maxLength: 6 }), (layers) => {
        const wanted = new Map<number, string>();
        layers.forEach((runs, layer) => {
          for (const { page, pages, at } of runs) {
            for (let i = 0; i < pages; i++) wanted.set(page + i, `${layer}:${at + i}`);
          }
        });
        const got = new Map<number, string>();
        let end = 0;
        for (const { page, pages, at, layer } of overlay(layers)) {
          expect(page).toBeGreaterThanOrEqual(end);
          end = page + pages;
          for (let i = 0; i < pages; i++) got.set(page + i, `${layer}:${at + i}`);
        }
        expect(got).toEqual(wanted);
      }),
    );
  });

  test("a table has a record of four numbers for each run", () => {
    const table = encodeTable([{ page: 1, pages: 2, layer: 3, at: 4 }]);
    expect([...new Uint32Array(table.buffer, table.byteOffset, 4)]).toEqual([1, 2, 3, 4]);
  });
});

/** Whatever is damaged says so in one way. */
function decodeOrNothing(map: Buffer): PageRun[] {
  try {
    return decodeMap(map, 1 << 20, 1 << 20);
  } catch (error) {
    if (error instanceof RangeError) return [];
    throw error;
  }
}

describe("decodeMap", () => {
  test("reads what was written", () => {
    fc.assert(
      fc.property(maps, (runs) => {
        const memory = PAGES * PAGE_BYTES;
        expect(decodeMap(encodeMap(runs), memory, memory)).toEqual(runs);
      }),
    );
  });

  test("refuses what points outside, overlaps or is cut off", () => {
    const good = encodeMap([{ page: 1, pages: 2, at: 0 }]);
    expect(() => decodeMap(good.subarray(1), PAGES, PAGES)).toThrow("cut off");
    expect(() => decodeMap(good, 2 * PAGE_BYTES, 2 * PAGE_BYTES)).toThrow("damaged");
    expect(() => decodeMap(good, 3 * PAGE_BYTES, PAGE_BYTES)).toThrow("damaged");
    expect(() => decodeMap(Buffer.concat([good, good]), 1 << 20, 1 << 20)).toThrow("damaged");
    expect(() => decodeMap(Buffer.alloc(16), 1 << 20, 1 << 20)).toThrow("damaged");
  });

  test("never accepts random bytes that point outside", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 160 }), (bytes) => {
        for (const { page, pages } of decodeOrNothing(Buffer.from(bytes))) {
          expect((page + pages) * PAGE_BYTES).toBeLessThanOrEqual(1 << 20);
        }
      }),
    );
  });
});
