// A service to be asked: node demo-server.js ADDRESS [PORT]. It is ready until it is drained, which takes it a second.

import http from "node:http";

const [, , address, port = "8080"] = process.argv;
if (address === undefined) {
  console.error("usage: node demo-server.js ADDRESS [PORT]");
  process.exit(2);
}

let ready = true;

const server = http.createServer((request, response) => {
  if (request.method === "POST" && request.url === "/drain") {
    ready = false;
    request.resume();
    setTimeout(() => response.writeHead(204).end(), 1_000);
  } else {
    response.writeHead(ready ? 200 : 503).end(ready ? "ready\n" : "draining\n");
  }
  console.log(`${address}: ${request.method} ${request.url}`);
});

server.listen(Number(port), address, () => console.log(`${address}: port ${server.address().port}`));
