import { Link } from "@tanstack/react-router";

/** A machine's id, which leads to its page. */
export function MachineLink({ id }: { id: string }) {
  return (
    <Link to="/machines/$id" params={{ id }} className="machine-link">
      <code className="id">{id}</code>
    </Link>
  );
}
