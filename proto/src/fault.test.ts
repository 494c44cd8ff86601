import { Code, ConnectError } from "@connectrpc/connect";
import { expect, test } from "vitest";
import { errorRule, Fault, mapError, mapStream } from "./fault.js";
import { ErrorCode, ErrorInfoSchema, ErrorReason } from "./index.js";

const noDefect = (error: unknown) => {
  throw new Error("not a defect", { cause: error });
};

test("every reason but the unspecified one has a code", () => {
  const reasons = Object.values(ErrorReason).filter((value) => typeof value === "number");
  const withoutCode = reasons.filter((reason) => errorRule(reason).code === ErrorCode.UNSPECIFIED);
  expect(reasons.length).toBeGreaterThan(30);
  expect(withoutCode).toEqual([ErrorReason.UNSPECIFIED]);
});

test("the codes are Connect's own", () => {
  expect(errorRule(ErrorReason.MACHINE_NOT_FOUND).code).toBe(Code.NotFound);
  expect(errorRule(ErrorReason.INVALID_API_KEY).code).toBe(Code.Unauthenticated);
  expect(errorRule(ErrorReason.AGENT_UNREACHABLE).code).toBe(Code.Unavailable);
});

test("a fault carries its reason, remedy and details", () => {
  const fault = new Fault(ErrorReason.TEMPLATE_NOT_FOUND, "no template bass", {
    remedy: "Did you mean base?",
    details: { nearest: "base" },
  });
  const error = mapError(fault, noDefect);
  const [info] = error.findDetails(ErrorInfoSchema);
  expect(error.code).toBe(Code.NotFound);
  expect(info?.reason).toBe(ErrorReason.TEMPLATE_NOT_FOUND);
  expect(info?.remedy).toBe("Did you mean base?");
  expect(info?.details).toEqual({ nearest: "base" });
});

test("a deadline that Connect itself found gets its reason", () => {
  const error = mapError(new ConnectError("late", Code.DeadlineExceeded), noDefect);
  const [info] = error.findDetails(ErrorInfoSchema);
  expect(info?.reason).toBe(ErrorReason.DEADLINE_EXCEEDED);
  expect(info?.retryable).toBe(true);
});

test("a defect is reported to us and hidden from the client", () => {
  const defects: unknown[] = [];
  const bug = new TypeError("password is hunter2");
  const error = mapError(bug, (defect) => defects.push(defect));
  expect(defects).toEqual([bug]);
  expect(error.code).toBe(Code.Internal);
  expect(error.rawMessage).not.toContain("hunter2");
});

test("what a transport throws into a stream is no defect of the handler's, whose stream is ended", async () => {
  let ended = false;
  const messages = async function* () {
    try {
      for (;;) yield "message";
    } finally {
      ended = true;
    }
  };
  const stream = mapStream(messages(), noDefect);
  await stream.next();
  await expect(stream.throw(new Error("write ECANCELED"))).rejects.toThrow("write ECANCELED");
  expect(ended).toBe(true);
});

test("what a stream throws of its own is mapped", async () => {
  const messages = async function* () {
    yield "message";
    throw new Fault(ErrorReason.FILE_NOT_FOUND, "gone");
  };
  const stream = mapStream(messages(), noDefect);
  await stream.next();
  await expect(stream.next()).rejects.toMatchObject({ code: Code.NotFound });
});
