import { execFileSync, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { chmodSync, chownSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { CONFINING_LIBRARY, leavingHost, MAX_FILE_BYTES } from "./leaving-host.js";

/** Tries what its arguments say, one line each: the name of the error, or "ok". */
const PROBE = String.raw`
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>
static void tell(int result) { puts(result < 0 ? strerrorname_np(errno) : "ok"); }
int main(int count, char **words) {
  for (int i = 1; i + 1 < count; i += 2) {
    const char *verb = words[i], *what = words[i + 1];
    if (!strcmp(verb, "read")) tell(open(what, O_RDONLY));
    if (!strcmp(verb, "write")) tell(open(what, O_WRONLY | O_CREAT, 0600));
    if (!strcmp(verb, "signal")) tell(kill(atoi(what), SIGURG));
    if (!strcmp(verb, "socket")) tell(socket(atoi(what), SOCK_STREAM, 0));
    if (!strcmp(verb, "uring")) tell(syscall(SYS_io_uring_setup, 1, malloc(4096)));
    if (!strcmp(verb, "root")) tell(setuid(0));
    if (!strcmp(verb, "connect")) {
      struct sockaddr_un address = {.sun_family = AF_UNIX};
      strncpy(address.sun_path, what, sizeof address.sun_path - 1);
      tell(connect(socket(AF_UNIX, SOCK_STREAM, 0), (struct sockaddr *)&address, sizeof address));
    }
    if (!strcmp(verb, "list")) {
      struct dirent *entry;
      DIR *folder = opendir(what);
      if (folder == NULL) tell(-1);
      else {
        while ((entry = readdir(folder)) != NULL) if (entry->d_name[0] != '.') printf("%s ", entry->d_name);
        puts("");
      }
    }
  }
}`;

const USER = { uid: 1_879_048_000, gid: 1_879_048_000 };

/** As root: nobody else can make another user of a program. */
describe.runIf(process.getuid?.() === 0)("a program that leaves the host", () => {
  let top: string;
  let own: string;
  let other: string;
  let probe: string;

  beforeAll(() => {
    top = mkdtempSync(join(tmpdir(), "leaving-host-"));
    // Everybody may pass: it is not the rights to folders that are looked at here.
    chmodSync(top, 0o755);
    [own, other] = [join(top, "own"), join(top, "other")];
    for (const folder of [own, other]) mkdirSync(folder);
    chownSync(own, USER.uid, USER.gid);
    writeFileSync(join(other, "disk"), "secret", { mode: 0o666 });
    writeFileSync(join(own, "mine"), "own");
    probe = join(top, "probe");
    writeFileSync(`${probe}.c`, PROBE);
    execFileSync("gcc", ["-O1", "-o", probe, `${probe}.c`]);
  });
  afterAll(() => rmSync(top, { recursive: true }));

  function tryAll(attempts: readonly [verb: string, what: string][], environment = {}): string[] {
    const view = leavingHost(USER, ["/usr"], { kvm: false, group: undefined });
    const { stdout, stderr, status } = spawnSync(probe, attempts.flat(), {
      cwd: own,
      env: { LD_PRELOAD: CONFINING_LIBRARY, [MAX_FILE_BYTES]: "1000", ...view, ...environment },
      encoding: "utf8",
    });
    expect(stderr).toBe("");
    expect(status).toBe(0);
    return stdout.trimEnd().split("\n");
  }

  test("finds its own folder and the system's programs, and no other file", () => {
    const answers = tryAll([
      ["read", "mine"],
      ["write", "new"],
      ["write", join(own, "newer")],
      ["read", "/usr/bin/env"],
      ["write", "/usr/bin/env"],
      ["write", "/new"],
      ["read", join(other, "disk")],
      ["read", "../other/disk"],
      ["read", "/etc/passwd"],
      ["read", "/dev/null"],
      ["list", "/proc"],
      ["list", top],
    ]);
    expect(answers.slice(0, 4)).toEqual(["ok", "ok", "ok", "ok"]);
    expect(answers.slice(4, 6)).toEqual(["EACCES", "EROFS"]);
    expect(answers.slice(6, 11)).toEqual(["ENOENT", "ENOENT", "ENOENT", "ENOENT", "ENOENT"]);
    expect(answers[11]?.trim()).toBe("own");
  });

  test("reaches no process, no socket and no network, and cannot become root again", async () => {
    const victim = spawn("sleep", ["60"], { uid: USER.uid + 1, gid: USER.gid + 1 });
    const path = join(other, "monitor.sock");
    const server = createServer().listen(path);
    await once(server, "listening");
    chmodSync(path, 0o777);
    try {
      const [inet, inet6, netlink, packet, vsock, unix] = [2, 10, 16, 17, 40, 1].map(String);
      const answers = tryAll([
        ["signal", String(victim.pid)],
        ["signal", String(process.pid)],
        ["connect", path],
        ...[inet, inet6, netlink, packet, vsock].map((family): [string, string] => [
          "socket",
          family ?? "",
        ]),
        ["uring", ""],
        ["root", ""],
        ["socket", unix ?? ""],
      ]);
      expect(answers.slice(0, 3)).toEqual(["EPERM", "EPERM", "ENOENT"]);
      expect(answers.slice(3, 8)).toEqual(Array(5).fill("EAFNOSUPPORT"));
      expect(answers.slice(8)).toEqual(["ENOSYS", "EPERM", "ok"]);
    } finally {
      victim.kill();
      server.close();
    }
  });

  test("does not begin where it cannot leave", () => {
    const { status, stderr } = spawnSync(probe, ["root", ""], {
      cwd: own,
      env: {
        LD_PRELOAD: CONFINING_LIBRARY,
        [MAX_FILE_BYTES]: "1000",
        NULLSPACE_USER: "0 0",
        NULLSPACE_READABLE: "/usr",
      },
      encoding: "utf8",
    });
    expect(stderr).toContain("cannot stop being root");
    expect(status).toBe(70);
  });
});
