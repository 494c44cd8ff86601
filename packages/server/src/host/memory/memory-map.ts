import { PAGE_BYTES } from "./page-run.js";
import type { PageRun } from "./page-run.js";

/** A run of pages, and the layer whose file holds them. */
export interface LayeredRun extends PageRun {
  layer: number;
}

const RECORD_BYTES = 16;

/** The table that QEMU's memory is put together by; see native/qemu-memory.c. */
export function encodeTable(runs: readonly LayeredRun[]): Buffer {
  const table = Buffer.alloc(runs.length * RECORD_BYTES);
  runs.forEach(({ page, pages, layer, at }, index) => {
    const offset = index * RECORD_BYTES;
    table.writeUInt32LE(page, offset);
    table.writeUInt32LE(pages, offset + 4);
    table.writeUInt32LE(layer, offset + 8);
    table.writeUInt32LE(at, offset + 12);
  });
  return table;
}

/** The map of one layer, as it is kept beside its pages: a table without layers. */
export function encodeMap(runs: readonly PageRun[]): Buffer {
  return encodeTable(runs.map((run) => ({ ...run, layer: 0 })));
}

/**
 * Reads the map of one layer.
 *
 * @throws RangeError when its runs are not in order, overlap, or lie outside of the memory or the file.
 */
export function decodeMap(map: Buffer, memoryBytes: number, fileBytes: number): PageRun[] {
  if (map.length % RECORD_BYTES !== 0) throw new RangeError("a map of memory that is cut off");
  const runs: PageRun[] = [];
  let end = 0;
  for (let offset = 0; offset < map.length; offset += RECORD_BYTES) {
    const page = map.readUInt32LE(offset);
    const pages = map.readUInt32LE(offset + 4);
    const at = map.readUInt32LE(offset + 12);
    const fits =
      (page + pages) * PAGE_BYTES <= memoryBytes && (at + pages) * PAGE_BYTES <= fileBytes;
    if (page < end || pages === 0 || !fits) throw new RangeError("a map of memory that is damaged");
    runs.push({ page, pages, at });
    end = page + pages;
  }
  return runs;
}

/** Lays maps over each other: where several have a page, the last one's counts. */
export function overlay(maps: readonly (readonly PageRun[])[]): LayeredRun[] {
  let runs: LayeredRun[] = [];
  maps.forEach((map, layer) => {
    runs = over(
      runs,
      map.map((run) => ({ ...run, layer })),
    );
  });
  return runs;
}

/** Both in order; `upper` hides what it covers of `lower`. */
function over(lower: readonly LayeredRun[], upper: readonly LayeredRun[]): LayeredRun[] {
  const result: LayeredRun[] = [];
  let next = 0;
  for (const run of lower) {
    let from = run.page;
    const end = run.page + run.pages;
    while (from < end) {
      // What ends before this run is hidden by nothing of it.
      for (let above = upper[next]; above !== undefined; above = upper[next]) {
        if (above.page + above.pages > from) break;
        result.push(above);
        next++;
      }
      const above = upper[next];
      const visibleEnd = Math.min(end, above?.page ?? end);
      if (visibleEnd > from) {
        const skipped = from - run.page;
        result.push({ ...run, page: from, pages: visibleEnd - from, at: run.at + skipped });
      }
      from = Math.max(visibleEnd, above === undefined ? end : above.page + above.pages);
    }
  }
  result.push(...upper.slice(next));
  return result;
}
