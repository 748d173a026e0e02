// The page of the browser tests: rendered by the test, taken over by the browser.

import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { type RoomEvent, Rooms, type RoomsOptions } from "@tramline/ws-rooms";
import { useRealTimeQuery } from "@tramline/ws-rooms/query";
import { RoomsProvider, usePresence, useRoom, useRooms } from "@tramline/ws-rooms/react";
import { type ReactNode, StrictMode, useState } from "react";

export interface Page {
  readonly rooms: Rooms;
  /** What the component has heard. */
  readonly heard: string[];
}

export function make(options: RoomsOptions): Page {
  return { rooms: new Rooms(options), heard: [] };
}

export function App({ rooms, heard }: Page): ReactNode {
  const [queries] = useState(() => new QueryClient());
  return (
    <StrictMode>
      <RoomsProvider rooms={rooms}>
        <QueryClientProvider client={queries}>
          <Phase />
          <Payment heard={heard} />
          <Balance />
        </QueryClientProvider>
      </RoomsProvider>
    </StrictMode>
  );
}

function Phase(): ReactNode {
  const { state } = useRooms();
  return <p id="phase">{state.phase === "stopped" ? `stopped: ${state.reason}` : state.phase}</p>;
}

function Payment({ heard }: { heard: string[] }): ReactNode {
  const { status } = useRoom("payment:1", {
    event: ({ event }) => heard.push(event.id),
    gap: ({ reason }) => heard.push(`gap: ${reason}`),
  });
  const presence = usePresence("payment:1");
  return (
    <>
      <p id="room">{status}</p>
      <p id="present">{presence.status === "known" ? [...presence.users].sort().join(",") : presence.status}</p>
    </>
  );
}

let reads = 0;
function Balance(): ReactNode {
  const { data } = useRealTimeQuery({
    queryKey: ["balance"],
    queryFn: async () => `read ${(reads += 1)}`,
    rooms: ["payment:1"],
    staleTime: Infinity,
    patch: (data: string, event: RoomEvent) => (event.data === "unknown" ? undefined : `${data}, ${event.id}`),
  });
  return <p id="balance">{data ?? "…"}</p>;
}
