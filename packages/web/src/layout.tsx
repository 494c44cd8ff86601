import { TransportProvider } from "@connectrpc/connect-query";
import { useQueryClient } from "@tanstack/react-query";
import { Link, Outlet, useNavigate } from "@tanstack/react-router";
import { useCallback, useMemo } from "react";
import { Logo } from "./logo";
import { SignOutContext } from "./session/sign-out";
import { forgetKey, readKey } from "./session/session";
import { createTransport } from "./transport";

/** What surrounds every page that needs a key. */
export function Layout() {
  const navigate = useNavigate();
  const queryClient = useQueryClient();
  const transport = useMemo(() => createTransport(readKey() ?? ""), []);
  const signOut = useCallback(() => {
    forgetKey();
    queryClient.clear();
    void navigate({ to: "/login" });
  }, [navigate, queryClient]);

  return (
    <TransportProvider transport={transport}>
      <SignOutContext value={signOut}>
        <header className="top">
          <div className="brand">
            <Logo size={24} />
            <span>Nullspace</span>
          </div>
          <nav aria-label="Pages">
            <Link to="/">Machines</Link>
            <Link to="/snapshots">Snapshots</Link>
            <Link to="/events">Events</Link>
          </nav>
          <button type="button" className="plain" onClick={signOut}>
            Sign out
          </button>
        </header>
        <main className="page">
          <Outlet />
        </main>
      </SignOutContext>
    </TransportProvider>
  );
}
