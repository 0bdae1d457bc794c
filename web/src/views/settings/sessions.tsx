import { call } from "../../api/client";
import { useList } from "../../state/lists";
import { moment, More, Problem, Table } from "../parts";

export interface LoginSession {
  id: string;
  method: string;
  address: string | null;
  user_agent: string | null;
  current: boolean;
  created_at: number;
  last_used_at: number | null;
  expires_at: number;
}

/** Where one is logged in, and ending that. */
export function Sessions() {
  const { list, problem, act, hasMore, more } = useList<LoginSession>("/v1/auth/sessions");
  return (
    <section>
      <Problem text={problem} />
      {list && (
        <Table label="Sessions" columns={["Browser or program", "From", "Last used", "Since", ""]}>
          {list.map((one) => (
            <tr key={one.id}>
              <td className="file-name">{one.user_agent || one.method}</td>
              <td>{one.address ?? "–"}</td>
              <td>{moment(one.last_used_at ?? one.created_at)}</td>
              <td>{moment(one.created_at)}</td>
              <td className="acts">
                {one.current ? (
                  <span className="badge good">this one</span>
                ) : (
                  <button className="quiet small" onClick={() => void act(call(`/v1/auth/sessions/${one.id}`, { method: "DELETE" }))}>
                    End
                  </button>
                )}
              </td>
            </tr>
          ))}
        </Table>
      )}
      {hasMore && <More onClick={more} />}
      {list && list.length > 1 && (
        <p>
          <button className="danger" onClick={() => void act(call("/v1/auth/sessions", { method: "DELETE" }))}>
            End all others
          </button>
        </p>
      )}
    </section>
  );
}
