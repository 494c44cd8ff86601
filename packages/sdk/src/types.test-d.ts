/** Calls that must compile, with the types they give, and calls that must not. Checked by `tsc`. */
import { expectTypeOf } from "vitest";
import {
  type CommandHandle,
  type CommandResult,
  type ErrorReason,
  type ForkResult,
  Machine,
  type MachineInfo,
  type Page,
  type SnapshotInfo,
} from "./index.js";

declare const machine: Machine;

expectTypeOf(Machine.create()).resolves.toEqualTypeOf<Machine>();
expectTypeOf(machine.commands.run("ls")).resolves.toEqualTypeOf<CommandResult>();
expectTypeOf(
  machine.commands.run("ls", { background: false }),
).resolves.toEqualTypeOf<CommandResult>();
expectTypeOf(
  machine.commands.run("ls", { background: true }),
).resolves.toEqualTypeOf<CommandHandle>();
declare const flag: boolean;
expectTypeOf(machine.commands.run("ls", { background: flag })).resolves.toEqualTypeOf<
  CommandResult | CommandHandle
>();

expectTypeOf(machine.files.read("f")).resolves.toEqualTypeOf<string>();
expectTypeOf(machine.files.read("f", { offset: 1 })).resolves.toEqualTypeOf<string>();
expectTypeOf(machine.files.read("f", { format: "bytes" })).resolves.toEqualTypeOf<Uint8Array>();
expectTypeOf(machine.files.read("f", { format: "stream" })).resolves.toEqualTypeOf<
  ReadableStream<Uint8Array>
>();

expectTypeOf(machine.fork()).resolves.toEqualTypeOf<Machine>();
expectTypeOf(machine.fork({ envs: {} })).resolves.toEqualTypeOf<Machine>();
expectTypeOf(machine.fork({ count: 1 })).resolves.toEqualTypeOf<Machine>();
expectTypeOf(machine.fork({ count: 3 })).resolves.toEqualTypeOf<ForkResult[]>();
declare const count: number;
expectTypeOf(machine.fork({ count })).resolves.toEqualTypeOf<Machine | ForkResult[]>();
expectTypeOf(machine.pause()).resolves.toEqualTypeOf<SnapshotInfo>();
expectTypeOf(Machine.resume("s1")).resolves.toEqualTypeOf<Machine>();

expectTypeOf(Machine.list()).resolves.toEqualTypeOf<Page<MachineInfo>>();
expectTypeOf(Machine.list({ fields: ["id", "state"] })).resolves.toEqualTypeOf<
  Page<Pick<MachineInfo, "id" | "state">>
>();
expectTypeOf<"TEMPLATE_NOT_FOUND">().toExtend<ErrorReason>();
expectTypeOf<"UNSPECIFIED">().not.toExtend<ErrorReason>();

// @ts-expect-error: arguments and a shell exclude each other.
void machine.commands.run("ls", { args: ["-l"], shell: true });
// @ts-expect-error: a reason that does not exist.
"NO_SUCH_REASON" satisfies ErrorReason;
// @ts-expect-error: a field that does not exist.
void Machine.list({ fields: ["size"] });
// @ts-expect-error: an option that does not exist.
void Machine.create({ memoryMB: 512 });
// @ts-expect-error: a mode that does not exist.
void Machine.create({ warmPool: "always" });
// @ts-expect-error: seconds are needed.
void machine.setTimeout({});
