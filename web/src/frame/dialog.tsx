import { useId, useLayoutEffect, useRef, type ReactNode } from "react";
import { Icon } from "./icons";
import { Notices } from "./notices";

/**
 * A native modal dialog: the browser keeps the focus in it and gives it back, if it is closed while it is there.
 * It opens with the focus on its first button, or on what is marked `data-first`.
 */
export function Dialog({
  title,
  onClose,
  children,
  wide = false,
}: {
  title: string;
  onClose: () => void;
  children: ReactNode;
  wide?: boolean;
}) {
  const element = useRef<HTMLDialogElement>(null);
  const label = useId();
  useLayoutEffect(() => {
    const dialog = element.current!;
    if (!dialog.open) dialog.showModal();
    dialog.querySelector<HTMLElement>("[data-first]")?.focus();
    return () => dialog.close();
  }, []);
  return (
    <dialog
      ref={element}
      className={wide ? "dialog wide" : "dialog"}
      aria-labelledby={label}
      onCancel={(event) => {
        if (event.target !== element.current) return; // of a dialog within this one, or of a choice of files
        event.preventDefault();
        onClose();
      }}
      onClick={(event) => event.target === element.current && onClose()}
    >
      <div className="dialog-body">
        <header>
          <h2 id={label}>{title}</h2>
          <button className="icon" onClick={onClose} aria-label="Close">
            <Icon name="close" />
          </button>
        </header>
        {children}
      </div>
      <Notices />
    </dialog>
  );
}

/** The end of a form in a dialog: leave it, or do what its button says. */
export function Submit({ onClose, children }: { onClose: () => void; children: ReactNode }) {
  return (
    <footer>
      <button type="button" className="quiet" onClick={onClose}>
        Cancel
      </button>
      <button className="primary">{children}</button>
    </footer>
  );
}

/** Asks before something that cannot be taken back. */
export function Confirm({
  title,
  text,
  action,
  onClose,
  onConfirm,
}: {
  title: string;
  text: string;
  action: string;
  onClose: () => void;
  onConfirm: () => void;
}) {
  return (
    <Dialog title={title} onClose={onClose}>
      <p>{text}</p>
      <footer>
        <button className="quiet" onClick={onClose}>
          Cancel
        </button>
        <button
          className="danger"
          onClick={() => {
            onConfirm();
            onClose();
          }}
        >
          {action}
        </button>
      </footer>
    </Dialog>
  );
}
