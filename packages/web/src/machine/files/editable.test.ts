import { array, assert, constantFrom, property } from "fast-check";
import { expect, test } from "vitest";
import { editableText, fileText } from "./editable.js";

const encode = (text: string) => new TextEncoder().encode(text);

test("what is not edited is saved as it was, or not shown at all", () => {
  const piece = constantFrom("\n", "\r\n", "\r", "\0", "\ufeff", "a", "é", "😀");
  assert(
    property(array(piece), (pieces) => {
      const text = pieces.join("");
      const editable = editableText(encode(text));
      const refused = "refusal" in editable;
      expect(refused ? /\0|\r/.test(text) : fileText(editable) === text).toBe(true);
    }),
  );
});

test("lines of Windows stay so", () => {
  const editable = editableText(encode("one\r\ntwo\r\n"));
  expect(editable).toEqual({ text: "one\ntwo\n", lineEnd: "\r\n" });
});

test("bytes that are no text are refused", () => {
  expect(editableText(Uint8Array.of(0xff, 0xfe))).toHaveProperty("refusal");
  expect(editableText(encode("a\0b"))).toHaveProperty("refusal");
  expect(editableText(encode("a\nb\r\n"))).toHaveProperty("refusal");
});
