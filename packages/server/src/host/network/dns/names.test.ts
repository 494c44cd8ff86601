import { create } from "@bufbuild/protobuf";
import { EgressMode, type EgressPolicy, EgressPolicySchema } from "@nullspace/proto";
import { expect, test } from "vitest";
import { verdictOf } from "./names.js";
import { parseServer } from "./upstream.js";

function custom(init: Partial<Pick<EgressPolicy, "allowCidrs" | "allowDomains">>) {
  return create(EgressPolicySchema, { ...init, mode: EgressMode.CUSTOM });
}

test("entries are about their names, and stars about all below", () => {
  const policy = custom({ allowDomains: ["example.com", "*.wild.org"] });
  expect(verdictOf(policy, "example.com")).toEqual({ kind: "pin", domain: "example.com" });
  expect(verdictOf(policy, "a.b.wild.org")).toEqual({ kind: "pin", domain: "*.wild.org" });
  for (const name of ["www.example.com", "notexample.com", "wild.org", "evilwild.org", "", "com"]) {
    expect(verdictOf(policy, name)).toEqual({ kind: "refuse" });
  }
});

test("names are answered where every address is open, and nowhere without a policy", () => {
  expect(verdictOf(custom({ allowCidrs: ["0.0.0.0/0"] }), "a.com").kind).toBe("answer");
  expect(verdictOf(custom({ allowCidrs: ["203.0.113.0/24"] }), "a.com").kind).toBe("refuse");
  expect(verdictOf(create(EgressPolicySchema, { mode: EgressMode.ALLOW_ALL }), "a.com").kind).toBe(
    "answer",
  );
  expect(verdictOf(create(EgressPolicySchema, { mode: EgressMode.DENY_ALL }), "a.com").kind).toBe(
    "refuse",
  );
  expect(verdictOf(undefined, "a.com").kind).toBe("refuse");
});

test.each([
  ["192.0.2.1", "192.0.2.1", 53],
  ["192.0.2.1:5353", "192.0.2.1", 5353],
  ["2001:db8::1", "2001:db8::1", 53],
  ["[2001:db8::1]:5353", "2001:db8::1", 5353],
])("the resolver %s is %s at port %s", (text, host, port) => {
  expect(parseServer(text)).toEqual({ host, port });
});
