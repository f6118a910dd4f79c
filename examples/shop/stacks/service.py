"""The service that takes orders: its queue, its rights, and the catalogue that it sells from."""

from pathlib import Path
from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sqs as sqs
from aws_cdk import aws_ssm as ssm
from constructs import Construct

CATALOG = Path(__file__).parent.parent / "dist" / "catalog.json"


class ShopService(cdk.Stack):
    """The queue of incoming orders and the role that works them off."""

    def __init__(
        self, scope: Construct, name: str, *, orders: dynamodb.ITable, receipts: s3.IBucket, **options: Any
    ) -> None:
        super().__init__(scope, name, **options)
        incoming = sqs.Queue(self, "Incoming", visibility_timeout=cdk.Duration.seconds(60))
        clerk = iam.Role(self, "Clerk", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
        incoming.grant_consume_messages(clerk)
        orders.grant_write_data(clerk)
        receipts.grant_put(clerk)
        catalog = ssm.StringParameter(self, "Catalog", parameter_name="/shop/catalog", string_value=built_catalog())
        cdk.CfnOutput(self, "IncomingQueue", value=incoming.queue_url)
        cdk.CfnOutput(self, "CatalogParameter", value=catalog.parameter_name)
        cdk.CfnOutput(self, "TableOfOrders", value=orders.table_name)


def built_catalog() -> str:
    """The catalogue that the build made of catalog/products.csv."""
    if not CATALOG.exists():
        raise SystemExit(
            f"{CATALOG} is missing. Build it: python3 -m shop.catalog catalog/products.csv dist/catalog.json"
        )
    return CATALOG.read_text()
