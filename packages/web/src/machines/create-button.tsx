import { useMutation } from "@connectrpc/connect-query";
import { MachineService } from "@nullspace/proto";
import { explain } from "../explain";
import { newKey } from "../new-key";

/** Starts a machine of the default template; it appears in the list by itself. */
export function CreateButton() {
  const { mutate, isPending, error } = useMutation(MachineService.method.create);
  return (
    <div className="create">
      <button
        type="button"
        className="primary"
        disabled={isPending}
        onClick={() => mutate({ idempotencyKey: newKey() })}
      >
        {isPending ? "Starting…" : "New machine"}
      </button>
      {error !== null && (
        <p className="failure" role="alert">
          {explain(error)}
        </p>
      )}
    </div>
  );
}
