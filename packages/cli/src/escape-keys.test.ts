import { describe, expect, test } from "vitest";
import { EscapeKeys } from "./escape-keys.js";

/** What comes of typing these, one piece after the other. */
function type(...pieces: string[]): { text: string; wishes: string[] } {
  const keys = new EscapeKeys();
  const typed = pieces.map((piece) => keys.push(Buffer.from(piece)));
  return {
    text: typed.map(({ data }) => data.toString()).join(""),
    wishes: typed.flatMap(({ wish }) => wish ?? []),
  };
}

describe("escape keys", () => {
  test.each([
    ["plain text passes", ["ls ~/src\r"], "ls ~/src\r", []],
    ["~. at the beginning detaches", ["~."], "", ["detach"]],
    ["~. after a new line detaches, and the rest is dropped", ["ls\r~.rm"], "ls\r", ["detach"]],
    ["~. within a line is text", ["a~."], "a~.", []],
    ["~~ is one ~", ["\r~~."], "\r~.", []],
    [
      "~? asks for help, and is at the beginning of a line still",
      ["~?", "~."],
      "",
      ["help", "detach"],
    ],
    ["~ and another key are both text", ["~a"], "~a", []],
    ["~ and Enter begin a line", ["~\r~."], "~\r", ["detach"]],
    ["keys may come one by one", ["\r", "~", "."], "\r", ["detach"]],
    ["bytes that are no text pass", ["\u001b[A\u0000ü"], "\u001b[A\u0000ü", []],
  ])("%s", (_what, pieces, text, wishes) => {
    expect(type(...pieces)).toEqual({ text, wishes });
  });
});
