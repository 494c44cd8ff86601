import { Code, ConnectError } from "@connectrpc/connect";
import { ErrorInfoSchema, ErrorReason } from "@nullspace/proto";
import { errorRule, Fault, toConnectError } from "@nullspace/proto/fault";
import { describe, expect, test } from "vitest";
import { toNullspaceError } from "./error-mapping.js";
import {
  CancelledError,
  ConflictError,
  InternalError,
  NotFoundError,
  NullspaceError,
  SnapshotIncompatibleError,
  UnavailableError,
} from "./errors.js";

const reasons = Object.values(ErrorReason).filter(
  (reason) => typeof reason === "number" && reason !== ErrorReason.UNSPECIFIED,
);

describe("every reason of error.proto", () => {
  test.each(reasons.map((reason) => [ErrorReason[reason], reason] as const))(
    "%s",
    (name, reason) => {
      const fault = new Fault(reason, "it went wrong", { remedy: "Do this.", details: { a: "b" } });
      const error = toNullspaceError(toConnectError(fault));
      const rule = errorRule(reason);
      expect(error).toBeInstanceOf(NullspaceError);
      expect(error.constructor).not.toBe(NullspaceError);
      expect(error.name).toBe(error.constructor.name);
      expect(error.reason).toBe(name);
      expect(error.retryable).toBe(rule.retryable);
      expect(error.code.replaceAll("_", "")).toBe(Code[rule.code]?.toLowerCase());
      expect(error.remedy).toBe("Do this.");
      expect(error.message).toBe("it went wrong. Do this.");
      expect(error.details).toEqual({ a: "b" });
    },
  );
});

test("an incompatible snapshot has a class of its own", () => {
  const fault = new Fault(ErrorReason.SNAPSHOT_INCOMPATIBLE, "other QEMU");
  expect(toNullspaceError(toConnectError(fault))).toBeInstanceOf(SnapshotIncompatibleError);
});

test("a reason newer than this SDK keeps its class", () => {
  const connectError = new ConnectError("new", Code.NotFound, undefined, [
    {
      desc: ErrorInfoSchema,
      value: { reason: 9999, retryable: true, remedy: "Upgrade." },
    },
  ]);
  const error = toNullspaceError(connectError);
  expect(error).toBeInstanceOf(NotFoundError);
  expect(error).toMatchObject({ reason: "NOT_FOUND", retryable: true, remedy: "Upgrade." });
});

describe("failures without an ErrorInfo", () => {
  test("cancelled by the caller and reset by a dying server are told apart", () => {
    const reset = new ConnectError("http/2 stream closed", Code.Canceled);
    expect(toNullspaceError(reset)).toMatchObject({ name: "UnavailableError", retryable: true });
    expect(toNullspaceError(reset, AbortSignal.abort("why"))).toMatchObject({
      name: "CancelledError",
      cause: "why",
    });
  });

  test("a network failure of fetch is a connection that failed", () => {
    const error = toNullspaceError(new TypeError("Failed to fetch"));
    expect(error).toBeInstanceOf(UnavailableError);
    expect(error.reason).toBe("CONNECTION_FAILED");
  });

  test("an answer of something else than Nullspace says so", () => {
    const error = toNullspaceError(new ConnectError("HTTP 404", Code.Unimplemented));
    expect(error).toBeInstanceOf(InternalError);
    expect(error.message).toContain("URL of a Nullspace server");
  });

  test("every code has a class", () => {
    for (const code of Object.values(Code)) {
      if (typeof code !== "number") continue;
      const error = toNullspaceError(new ConnectError("x", code), new AbortController().signal);
      expect(error.constructor).not.toBe(NullspaceError);
    }
  });
});

test("an error of the SDK passes as it is", () => {
  const error = new ConflictError("x", { code: "aborted", reason: "CONFLICT" });
  expect(toNullspaceError(error, AbortSignal.abort())).toBe(error);
  expect(new CancelledError("x", { code: "canceled", reason: "CANCELLED" }).message).toBe("x");
});
