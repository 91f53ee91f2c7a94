import { StrictMode, useEffect, useState } from "react";
import { createRoot } from "react-dom/client";
import { connect, type Connection, type HeraldEvent } from "herald-client";
import { NotificationBell, useSSE } from "herald-client/react";
import { createParser } from "herald-client/event-stream";

interface Order {
  item: string;
  cups: number;
}

const hub = new URLSearchParams(location.search).get("hub") ?? "";

function Newest() {
  const { data, error, state, lastEventId } = useSSE<Order>(`${hub}/events/orders`, { event: ["order"] });
  const cups: number | undefined = data?.cups;
  const problem: string | undefined = error?.message;
  return <p data-state={state} data-id={lastEventId}>{cups} cups of {data?.item} {problem}</p>;
}

function Types() {
  const [type, setType] = useState("");
  useEffect(() => {
    const connection: Connection = connect(`${hub}/events/orders`, { lastEventId: "earliest" });
    connection.on("*", (event: HeraldEvent) => setType(event.type));
    return () => connection.close();
  }, []);
  return <p>connect: {type}</p>;
}

function App() {
  const [title, setTitle] = useState("");
  return <>
    <NotificationBell
      src={`${hub}/notifications`} user="7" className="bell" style={{ float: "right" }}
      onSelect={({ json }) => setTitle(json.title)} />
    <Newest />
    <Types />
    <p>selected: {title}</p>
  </>;
}

createParser({ onEvent: ({ type, data }) => console.log(type, data) })("data: parsed\n\n");

createRoot(document.getElementById("root")!).render(<StrictMode><App /></StrictMode>);
