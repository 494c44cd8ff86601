import { create } from "@bufbuild/protobuf";
import { type ForkResult, ErrorInfoSchema, ForkResultSchema } from "@nullspace/proto";
import { mapError } from "@nullspace/proto/fault";
import type { ForkOutcome } from "../domain/forking.js";
import { toMachineMessage, toReceiptMessage } from "./machine-message.js";

/** The message that tells what became of one child. */
export function toForkResult(outcome: ForkOutcome, onDefect: (error: unknown) => void): ForkResult {
  if ("machine" in outcome) {
    const { machine } = outcome;
    const receipt = machine.receipt && toReceiptMessage(machine.receipt);
    const value = { machine: toMachineMessage(machine), ...(receipt && { receipt }) };
    return create(ForkResultSchema, { result: { case: "child", value } });
  }
  const error = mapError(outcome.error, onDefect);
  const [info] = error.findDetails(ErrorInfoSchema);
  const value = { message: error.rawMessage, ...(info && { info }) };
  return create(ForkResultSchema, { result: { case: "failure", value } });
}
