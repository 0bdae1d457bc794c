import { useState } from "react";
import { save } from "../api/save";
import { tellError } from "../state/notices";

interface Offered {
  path: string;
  name: string;
  small?: boolean;
  label?: string;
  children: string;
}

/** A button that saves what a path answers. */
export function Download({ path, name, small, label, children }: Offered) {
  const [busy, setBusy] = useState(false);
  const press = () => {
    setBusy(true);
    save(path, name)
      .catch(tellError)
      .finally(() => setBusy(false));
  };
  return (
    <button className={small ? "quiet small" : "quiet"} disabled={busy} aria-label={label} onClick={press}>
      {children}
    </button>
  );
}
