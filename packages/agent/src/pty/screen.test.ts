import * as fc from "fast-check";
import { expect, test } from "vitest";
import { ViewerTerminal } from "../testing/terminal.js";
import { Screen } from "./screen.js";

const COLS = 20;
const ROWS = 6;

/** What programs write, piece by piece. */
const operation = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.string({ unit: fc.constantFrom(...Array.from("abc xyz€é")), maxLength: 12 }),
  },
  { weight: 2, arbitrary: fc.constantFrom("\r\n", "\n", "\r", "\b", "\t") },
  fc
    .tuple(fc.integer({ min: 1, max: ROWS }), fc.integer({ min: 1, max: COLS }))
    .map(([y, x]) => `\x1b[${y};${x}H`),
  fc.constantFrom(
    "\x1b[K",
    "\x1b[1K",
    "\x1b[J",
    "\x1b[2J",
    "\x1b[L",
    "\x1b[M",
    "\x1b[2P",
    "\x1b[3@",
  ),
  fc.constantFrom("\x1b[1m", "\x1b[31m", "\x1b[48;5;22m", "\x1b[38;2;1;2;3m", "\x1b[7m", "\x1b[0m"),
  fc.constantFrom("\x1b[2;4r", "\x1b[r", "\x1bM", "\x1bD", "\x1b[2S", "\x1b[1T"),
  fc.constantFrom("\x1b[?1049h", "\x1b[?1049l", "\x1b[?25l", "\x1b[?2004h", "\x1b[?1h"),
  fc.constantFrom("\x1b[?1002h\x1b[?1006h", "\x1b(0", "\x1b(B", "\x1b7", "\x1b8", "\x1b]2;t\x07"),
);

const operations = fc.array(operation, { minLength: 5, maxLength: 60 });

test("whoever joins at any byte sees what those see who were there from the beginning", async () => {
  await fc.assert(
    fc.asyncProperty(operations, fc.double({ min: 0, max: 1, noNaN: true }), async (all, at) => {
      const stream = Buffer.from(all.join(""));
      const joinAt = Math.floor(at * stream.length);
      const [before, after] = [stream.subarray(0, joinAt), stream.subarray(joinAt)];
      const screen = await Screen.open({ cols: COLS, rows: ROWS });
      const fromStart = new ViewerTerminal(COLS, ROWS);
      const joined = new ViewerTerminal(COLS, ROWS);
      await screen.write(before);
      await fromStart.write(before);
      await joined.write(screen.paint());
      await fromStart.write(after);
      await joined.write(after);
      expect(joined.state).toEqual(fromStart.state);
    }),
    { numRuns: 250 },
  );
}, 60_000);
