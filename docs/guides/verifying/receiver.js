// Takes only what hookfast signed.  npm install standardwebhooks
const http = require("node:http");
const { Webhook } = require("standardwebhooks");

const webhook = new Webhook(process.env.HOOKFAST_SECRET);

http
  .createServer(async (request, response) => {
    try {
      // The bytes as they came: JSON that was parsed and written again has another signature.
      const chunks = [];
      for await (const chunk of request) chunks.push(chunk);
      const event = webhook.verify(Buffer.concat(chunks), request.headers);
      console.log(request.headers["webhook-id"], event);
      response.writeHead(204).end();
    } catch (error) {
      console.log(`refused: ${error.message}`);
      response.writeHead(401).end();
    }
  })
  .listen(Number(process.env.PORT), "127.0.0.1");
