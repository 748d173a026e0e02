"use client";
// The hook.

import {
  type DefaultError,
  type QueryClient,
  type QueryFunctionContext,
  type QueryKey,
  useQuery,
  useQueryClient,
  type UseQueryOptions,
  type UseQueryResult,
} from "@tanstack/react-query";
import { useEffect, useInsertionEffect, useRef } from "react";

import { type RegisteredEvents, useClient } from "../react/provider.js";
import { feedFor, feedOf, type Wish } from "./feed.js";

type Room = keyof RegisteredEvents & string;
type Event = RegisteredEvents[keyof RegisteredEvents];

/** What a query has to do with rooms. */
export interface RealTimeOptions<Data> {
  /** The rooms whose events change what is read. One is in them while the component is there. */
  readonly rooms: readonly Room[];
  /** Whether an event changes it; without this each does. Of several components that show it one is enough. */
  readonly affects?: (event: Event, room: Room) => boolean;
  /**
   * Puts an event into the data, instead of reading it anew; `undefined` where it cannot. Only called when the event
   * is the very next after what was read. What was read may hold it already: set values, do not add to them. Of several
   * components that an event concerns, the newest one's is called, and the data is everybody's.
   */
  readonly patch?: (data: Data, event: Event, room: Room) => Data | undefined;
}

/**
 * `useQuery`, kept fresh by rooms.
 *
 * It is in the rooms before it reads. Events within 300 ms cost one reading, whatever number of components shows the
 * query; so does a gap, and a reconnect costs one or, when nothing was missed, none.
 */
export function useRealTimeQuery<
  QueryData = unknown,
  Failure = DefaultError,
  Data = QueryData,
  Key extends QueryKey = QueryKey,
>(
  options: UseQueryOptions<QueryData, Failure, Data, Key> & RealTimeOptions<QueryData>,
  queryClient?: QueryClient,
): UseQueryResult<Data, Failure> {
  const { rooms: names, affects, patch, ...query } = options;
  const client = useQueryClient(queryClient);
  const rooms = useClient();
  const { queryHash, queryFn } = client.defaultQueryOptions(query as unknown as UseQueryOptions);
  const wish = { affects, patch } as Wish;
  const user = useRef(wish);
  useInsertionEffect(() => {
    user.current = wish;
  });
  // Names hold no spaces.
  const list = [...new Set(names)].sort().join(" ");
  // ORDER: above `useQuery`, whose own effect reads.
  useEffect(() => {
    if (list === "") return undefined;
    return feedFor(client, rooms, queryHash).add(list.split(" "), () => user.current);
  }, [client, rooms, queryHash, list]);

  const fed = (context: QueryFunctionContext) => {
    const read = () => (queryFn as (context: QueryFunctionContext) => unknown)(context);
    const feed = feedOf(client, rooms, queryHash);
    return feed ? feed.read(read) : read();
  };
  // A token that says «not now» stays one.
  const withFeed = { ...query, ...(typeof queryFn === "function" && { queryFn: fed }) };
  return useQuery(withFeed as unknown as UseQueryOptions<QueryData, Failure, Data, Key>, client);
}
