import { Link } from "@tanstack/react-router";
import { useMachine } from "../machine-context";
import { lineOf } from "./paths";

/** The way to a folder, each step of it a link; with `file`, to a file in it. */
export function Crumbs({ folder, file }: { folder: string; file?: string }) {
  const { id } = useMachine();
  return (
    <nav className="crumbs" aria-label="Folder">
      {lineOf(folder).map(({ name, path }) => (
        <Link
          key={path}
          to="/machines/$id/files"
          params={{ id }}
          search={{ folder: path }}
          activeOptions={{ exact: true, includeSearch: true }}
        >
          {name}
        </Link>
      ))}
      {file !== undefined && <span aria-current="page">{file}</span>}
    </nav>
  );
}
