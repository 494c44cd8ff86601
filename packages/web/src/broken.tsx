import type { ErrorComponentProps } from "@tanstack/react-router";
import { explain } from "./explain";

/** What is shown when a page fails, or cannot be loaded. */
export function Broken({ error }: ErrorComponentProps) {
  return (
    <div className="centered">
      <h1>This page failed</h1>
      <p className="failure" role="alert">
        {explain(error)}
      </p>
      <p className="quiet">The server may have been updated since you opened the console.</p>
      <p>
        <button type="button" className="primary" onClick={() => window.location.reload()}>
          Load it again
        </button>
      </p>
    </div>
  );
}
