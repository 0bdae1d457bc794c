import { dismiss, useNotices } from "../state/notices";
import { Icon } from "./icons";

export function Notices() {
  const notices = useNotices();
  return (
    <div className="notices" role="status" aria-live="polite">
      {notices.map((one) => (
        <div key={one.id} className={`notice ${one.kind}`}>
          <span>{one.text}</span>
          <button className="icon" onClick={() => dismiss(one.id)} aria-label="Dismiss">
            <Icon name="close" />
          </button>
        </div>
      ))}
    </div>
  );
}
