import * as sdk from "@nullspace/sdk";
import { expect, test } from "vitest";
import { readPage } from "./pages.ts";

/** Rows of the tables of a page, each a list of its cells. */
function tableRows(text: string): string[][] {
  return [...text.matchAll(/^\| (.*) \|$/gm)].map((match) =>
    (match[1] ?? "").split(" | ").map((cell) => cell.replaceAll("`", "").trim()),
  );
}

/** The reasons as error.proto has them: name, code, whether a retry may help, meaning. */
function reasonsOfProto(): string[][] {
  const proto = readPage("proto/nullspace/v1/error.proto");
  const body = proto.slice(proto.indexOf("enum ErrorReason"), proto.indexOf("message ErrorInfo"));
  const reason = /((?: *\/\/.*\n)+) *ERROR_REASON_(\w+) = \d+ \[\(rule\) = \{([^}]*)\}\];/g;
  return [...body.matchAll(reason)].map(([, comment = "", name = "", rule = ""]) => [
    name,
    (/ERROR_CODE_(\w+)/.exec(rule)?.[1] ?? "").toLowerCase().replace("cancelled", "canceled"),
    rule.includes("retryable: true") ? "yes" : "no",
    comment.replaceAll(/\s*\/\/ ?/g, " ").trim(),
  ]);
}

test("docs/errors.md has every reason of error.proto, as it is there", () => {
  const reasons = reasonsOfProto();
  const names = reasons.map(([name]) => name);
  const documented = tableRows(readPage("docs/errors.md")).filter(
    (cells) => cells.length === 4 && /^[A-Z_]+$/.test(cells[0] ?? ""),
  );
  expect(names).toContain("MACHINE_NOT_FOUND");
  expect(documented).toEqual(reasons);
});

test("docs/errors.md has every class of the SDK", () => {
  const classes = Object.entries(sdk)
    .filter(([, value]) => Error.isPrototypeOf(value))
    .map(([name]) => name);
  const documented = tableRows(readPage("docs/errors.md"))
    .map(([name = ""]) => name)
    .filter((name) => name.endsWith("Error"));
  expect(documented.toSorted()).toEqual(classes.toSorted());
});
