import * as fc from "fast-check";
import { expect, test } from "vitest";
import { sshdConfig } from "./sshd-config.js";

const PARTS = { hostKey: "/k", authorities: "/a", principals: "/p" };

const settingsOf = (envs: Record<string, string>) =>
  sshdConfig({ ...PARTS, envs })
    .split("\n")
    .filter((line) => line.startsWith("SetEnv"));

test("accepts certificates of one authority and nothing else", () => {
  const lines = sshdConfig({ ...PARTS, envs: {} }).split("\n");
  for (const line of [
    "TrustedUserCAKeys /a",
    "AuthorizedPrincipalsFile /p",
    "AuthorizedKeysFile none",
    "AuthenticationMethods publickey",
    "PasswordAuthentication no",
    "KbdInteractiveAuthentication no",
    "HostbasedAuthentication no",
  ]) {
    expect(lines).toContain(line);
  }
  expect(lines.filter((line) => line.startsWith("SetEnv"))).toEqual([]);
});

test("quotes the environment as sshd reads it, on one line", () => {
  expect(settingsOf({ A: "1", B: `it's "so" \\ # %h` })).toEqual([
    String.raw`SetEnv "A=1" "B=it\'s \"so\" \\ # %h"`,
  ]);
});

test("no environment can add a line, or another name", () => {
  expect(
    settingsOf({ "A B": "1", "": "2", "C=": "3", D: "x\nPasswordAuthentication yes" }),
  ).toEqual([]);
  const lines = sshdConfig({ ...PARTS, envs: {} }).split("\n").length;
  fc.assert(
    fc.property(fc.dictionary(fc.string(), fc.string({ unit: "binary" })), (envs) => {
      const settings = settingsOf(envs);
      const made = sshdConfig({ ...PARTS, envs }).split("\n").length;
      expect(made).toBe(lines + settings.length);
      expect(settings.length).toBeLessThan(2);
      for (const setting of settings) expect(setting).toMatch(/^SetEnv( "([^"\\]|\\["'\\])*")+$/);
    }),
  );
});
