import { expect, test } from "vitest";
import { LogText, MOST_CHARACTERS } from "./log-text.js";

test("keeps the end, and a bounded part of it", () => {
  const log = new LogText();
  for (let line = 0; line < 50_000; line++) log.push({ stream: "stdout", text: `line ${line}\n` });
  const text = log.pieces.map((piece) => piece.text).join("");
  expect(text.endsWith("line 49999\n")).toBe(true);
  expect(text.length).toBeLessThanOrEqual(MOST_CHARACTERS);
  expect(log.pieces.length).toBeLessThan(100);
  expect(log.cut).toBe(true);
  log.push({ stream: "stderr", text: "x".repeat(3 * MOST_CHARACTERS) });
  expect(log.pieces).toHaveLength(1);
});

test("tells the streams apart and leaves out what only terminals show", () => {
  const log = new LogText();
  log.push({ stream: "stdout", text: "\x1b[1;32mgreen\x1b[0m and " });
  log.push({ stream: "stdout", text: "\x1b]0;title\x07plain\n" });
  log.push({ stream: "stderr", text: "oh\n" });
  expect(log.pieces).toEqual([
    { stream: "stdout", text: "green and plain\n" },
    { stream: "stderr", text: "oh\n" },
  ]);
});
