import { Scope } from "@nullspace/proto";
import { beforeEach, describe, expect, test } from "vitest";
import { Audit, type AuditEntry, type AuditNote, type AuditStore } from "./audit.js";

const CALLER = { keyId: "abc", projectId: "team-a", scopes: [Scope.PROJECT] };
const NOTE: AuditNote = { rpc: "x.Y/Z", objectId: "m1", outcome: "ok", requestId: "r1" };

let written: AuditEntry[][];
let begun: PromiseWithResolvers<void>;
let gate: Promise<void>;
const store: AuditStore = {
  append: async (entries) => {
    begun.resolve();
    await gate;
    written.push([...entries]);
  },
  list: () => Promise.reject(new Error("not asked")),
  deleteExpired: () => Promise.reject(new Error("not asked")),
  oldestOf: () => Promise.reject(new Error("not asked")),
};

beforeEach(() => {
  written = [];
  begun = Promise.withResolvers();
  gate = Promise.resolve();
});

describe("the audit trail", () => {
  test("a note is kept when it resolves, with who made the call", async () => {
    await new Audit(store).note(CALLER, NOTE);
    expect(written).toMatchObject([[{ ...NOTE, keyId: "abc", projectId: "team-a" }]]);
  });

  test("notes that come during a write are written together by the next one", async () => {
    const held = Promise.withResolvers<void>();
    gate = held.promise;
    const audit = new Audit(store);
    const first = audit.note(CALLER, NOTE);
    await begun.promise;
    const others = Array.from({ length: 700 }, async () => audit.note(CALLER, NOTE));
    held.resolve();
    await Promise.all([first, ...others]);
    expect(written.map(({ length }) => length)).toEqual([1, 500, 200]);
    expect(new Set(written.flat().map(({ id }) => id)).size).toBe(701);
  });

  test("a write that fails fails those who wait for it, and no others", async () => {
    const full = new Error("the disk is full");
    gate = Promise.reject(full);
    const audit = new Audit(store);
    const failing = [audit.note(CALLER, NOTE), audit.note(CALLER, NOTE)];
    for (const note of failing) await expect(note).rejects.toBe(full);
    gate = Promise.resolve();
    await audit.note(CALLER, { ...NOTE, objectId: "m2" });
    expect(written).toMatchObject([[{ objectId: "m2" }]]);
  });

  test("holds no credential that a caller took for an id, and no text without end", async () => {
    const key = `ns_abcdefghijkl_${"x".repeat(44)}`;
    const audit = new Audit(store);
    await audit.note(CALLER, { ...NOTE, objectId: key, requestId: "r".repeat(1000) });
    expect(JSON.stringify(written)).not.toContain("xxxx");
    expect(written[0]?.[0]?.requestId).toHaveLength(128);
  });
});
