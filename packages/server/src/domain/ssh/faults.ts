import { ErrorReason } from "@nullspace/proto";
import { Fault } from "@nullspace/proto/fault";

/** A relay token that opens nothing. Which of the reasons it is, only its owner could make use of. */
export function invalidToken(): Fault {
  return new Fault(
    ErrorReason.SSH_TOKEN_INVALID,
    "this is no relay token of this machine, or it has expired or was revoked",
    {
      remedy:
        "Ask for a new access: `nullspace ssh` does, or createSshAccess(). An API key does not do.",
    },
  );
}

/** No access of this project has this id. */
export function accessNotFound(id: string): Fault {
  return new Fault(
    ErrorReason.SSH_ACCESS_NOT_FOUND,
    `no SSH access ${JSON.stringify(id.slice(0, 80))}`,
    { remedy: "List those of the machine; they go with its record." },
  );
}
