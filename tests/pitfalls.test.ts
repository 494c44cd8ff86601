import { readFile } from "node:fs/promises";
import { expect, test } from "vitest";

/** A test: its file from the repository's root, and its name. */
type Proof = readonly [file: string, name: string];

/**
 * What others of this kind have fallen into, and the tests that keep us out. It is written down
 * here so that none of them goes without notice.
 */
const PITFALLS: Record<string, readonly Proof[]> = {
  "state lost on the second or third pause and resume, not the first": [
    ["tests/travel.test.ts", "state is not lost on the first, second or third pause and resume"],
    ["tests/soak.test.ts", "a machine under load goes through pauses, snapshots and forks"],
    ["tests/depth.test.ts", "snapshots of snapshots and forks of forks, twenty deep"],
  ],
  "a wake that fails hands out a fresh, empty machine": [
    [
      "tests/travel.test.ts",
      "a flipped byte is found, the wake fails loudly, and the paused machine is still there",
    ],
    [
      "packages/server/src/domain/resuming.test.ts",
      "one that fails leaves it paused as before, and never a fresh machine",
    ],
  ],
  "forks with corrupt disks: disk and memory of different moments": [
    [
      "tests/databases.test.ts",
      "disk and memory are of one instant: SQLite and PostgreSQL under load are sound in every copy",
    ],
    [
      "packages/server/src/host/qemu/merge-disks.test.ts",
      "one overlay holds what many held, whatever they call each other",
    ],
  ],
  "a packet that arrives while devices are saved breaks the virtqueues": [
    [
      "tests/egress-failures.test.ts",
      "captures of a machine that packets rush in on are consistent, to the third generation",
    ],
  ],
  "a capture that saves only changed pages loses some of them": [
    [
      "tests/memory-image.test.ts",
      "an image of changed pages is a full dump, byte for byte, to the third generation",
    ],
    ["tests/memory-image.test.ts", "a balloon takes them and gives them back"],
    ["tests/memory-image.test.ts", "this computer swaps them out"],
    ["tests/memory-image.test.ts", "they are in huge pages"],
  ],
  "children with the same kernel random pool, UUIDs, TLS randoms": [
    ["tests/travel.test.ts", "eight children of one instant are eight machines"],
    [
      "tests/adoption.test.ts",
      "two machines of one memory image share no identity and no random bytes",
    ],
    [
      "tests/adoption.test.ts",
      "a program that runs through a fork goes on when its copy's clock and random pool are set",
    ],
    ["packages/server/src/domain/forking.test.ts", "a child that fails does not hide the others"],
  ],
  "random generators of user processes are copied": [
    [
      "tests/waking.test.ts",
      "each generation tells the processes that came along that it is another",
    ],
    ["tests/travel.test.ts", "eight children of one instant are eight machines"],
  ],
  "clock hours behind, TLS fails, timers fire in a storm": [
    [
      "tests/waking.test.ts",
      "a woken machine's clock goes to the right time at once, and its processes see none between",
    ],
    ["tests/adoption.test.ts", "the receipt confirms clock, entropy and identity"],
  ],
  "same machine-id, boot_id, hostname, MAC, SSH host keys, tokens": [
    ["tests/travel.test.ts", "eight children of one instant are eight machines"],
    [
      "packages/agent/src/agent.test.ts",
      "after an adoption only the new key opens a session, and commands see the machine's environment",
    ],
  ],
  "the parent loses its streams and terminals when it is forked": [
    [
      "tests/travel.test.ts",
      "the parent's streams and terminals are untouched by twenty forks and by snapshots",
    ],
  ],
  "connections copied into the child": [
    [
      "packages/agent/src/channel/channel.test.ts",
      "one begins with the key and the nonce, whatever came before and however it is torn",
    ],
    [
      "packages/agent/src/channel/channel.test.ts",
      "the next key destroys the session there is before it begins another",
    ],
  ],
  "a snapshot file changed or swapped while a machine maps it": [
    [
      "packages/server/src/host/verified-files.test.ts",
      "a byte that changes after the proof is found, whatever the file's times say",
    ],
    [
      "packages/server/src/host/verified-files.test.ts",
      "another size, a missing file, a link and an unknown file are refused",
    ],
    [
      "packages/server/src/host/qemu/memory-library.test.ts",
      "QEMU maps memory that it can only read",
    ],
  ],
  "restore on another CPU, QEMU or kernel": [
    [
      "tests/travel.test.ts",
      "one of another QEMU, CPU or kernel is refused before anything starts",
    ],
  ],
  "crash between memory written and recorded": [
    [
      "tests/crash.test.ts",
      "the machine goes on, nothing half is seen, and the next capture works",
    ],
    ["tests/crash.test.ts", "a full disk at each step of a capture leaves the machine as it was"],
    [
      "packages/server/src/domain/crash.test.ts",
      "a server that is killed at any step of a snapshot leaves it whole or not there",
    ],
  ],
  "huge pages and page sharing as a side channel": [
    [
      "tests/memory-image.test.ts",
      "they are in huge pages, which are never merged with those of others",
    ],
  ],
  "orphan VMs, network rules, mounts after a crash": [
    ["tests/recovery.test.ts", "a create cut off by kill -9 leaves no machine behind"],
    [
      "packages/server/src/domain/control-plane.test.ts",
      "machines that nobody asked for are reaped",
    ],
  ],
  "machines stuck in a transition for ever": [
    ["packages/server/src/domain/control-plane.test.ts", "one that takes too long ends in failed"],
    [
      "packages/server/src/domain/pausing.test.ts",
      "one that takes too long ends, and the machine goes on",
    ],
  ],
  "failed machines that keep resources": [
    [
      "tests/recovery.test.ts",
      "a VM that dies is failed, with the tail of its console, and holds nothing",
    ],
  ],
  "SDK calls that hang; hidden caps; streams cut by an edge": [
    [
      "packages/sdk/src/machine.test.ts",
      "requestTimeoutMs ends a call that hangs, here and on the server",
    ],
    [
      "packages/sdk/src/transport/node.test.ts",
      "a peer that is gone without a word is found out: its calls fail, to be made again",
    ],
  ],
  "reconnect by pid lost after two minutes": [
    [
      "packages/agent/src/process/process-service.test.ts",
      "a lost connection ends nothing: the next one finds every byte",
    ],
    ["packages/agent/src/process/process-service.test.ts", "says what it no longer has"],
    ["tests/recovery.test.ts", "a machine and its command outlive kill -9 of the server"],
  ],
  "uploads held in memory": [
    ["packages/sdk/src/transfer/transfers.test.ts", "memory stays flat, up and down"],
    [
      "packages/sdk/src/transfer/transfers.test.ts",
      "one that was interrupted is gone on with: only the rest is sent",
    ],
  ],
  "PTY size lost on re-attach": [
    [
      "packages/sdk/src/pty/pty.test.ts",
      "is connected to with its screen, and takes on the newest size",
    ],
  ],
};

const ROOT = new URL("../", import.meta.url);

test.each(Object.entries(PITFALLS))("%s: there is a test against it", async (_, proofs) => {
  expect(proofs.length).toBeGreaterThan(0);
  for (const [file, name] of proofs) {
    const source = await readFile(new URL(file, ROOT), "utf8");
    expect(source).toMatch(new RegExp(`test(\\.\\w+\\(.*\\))?\\(\\s*"${escaped(name)}`));
  }
});

function escaped(text: string): string {
  return text.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&");
}
