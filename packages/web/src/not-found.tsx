import { Link } from "@tanstack/react-router";

export function NotFound() {
  return (
    <main className="centered">
      <h1>There is no such page</h1>
      <Link to="/">See the machines</Link>
    </main>
  );
}
