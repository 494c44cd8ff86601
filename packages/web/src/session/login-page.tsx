import { createClient } from "@connectrpc/connect";
import { MachineService } from "@nullspace/proto";
import { useMutation } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { type FormEvent, useId } from "react";
import { explain, isUnauthenticated } from "../explain";
import { Logo } from "../logo";
import { createTransport } from "../transport";
import { storeKey } from "./session";

/** Signs in when the server takes the key. */
async function signIn(apiKey: string): Promise<void> {
  await createClient(MachineService, createTransport(apiKey)).list({ limit: 1 });
  storeKey(apiKey);
}

/** Asks for an API key and checks it. */
export function LoginPage() {
  const navigate = useNavigate();
  const { mutate, isPending, error } = useMutation({
    mutationFn: signIn,
    onSuccess: () => navigate({ to: "/" }),
  });
  const errorId = useId();

  function submit(event: FormEvent<HTMLFormElement>) {
    event.preventDefault();
    const apiKey = new FormData(event.currentTarget).get("apiKey");
    if (typeof apiKey === "string") mutate(apiKey.trim());
  }

  return (
    <main className="centered">
      <form className="card login" onSubmit={submit}>
        <Logo size={40} />
        <h1>Nullspace</h1>
        <p className="quiet">
          Sign in with an API key. <code>nullspace up</code> prints one; so does{" "}
          <code>nullspace key create</code>.
        </p>
        <label>
          <span>API key</span>
          <input
            name="apiKey"
            type="password"
            placeholder="ns_…"
            autoComplete="current-password"
            spellCheck={false}
            required
            autoFocus
            aria-invalid={error !== null}
            aria-describedby={errorId}
          />
        </label>
        <p id={errorId} className="failure" role="alert">
          {error !== null && messageOf(error)}
        </p>
        <button type="submit" className="primary" disabled={isPending}>
          {isPending ? "Checking…" : "Sign in"}
        </button>
        <p className="fine quiet">The key stays in this tab and is gone when you close it.</p>
      </form>
    </main>
  );
}

function messageOf(error: unknown): string {
  return isUnauthenticated(error) ? "This key was not accepted." : explain(error);
}
