"""What must outlive every deployment: orders and receipts."""

from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_s3 as s3
from constructs import Construct


class ShopData(cdk.Stack):
    """The table of orders and the bucket of receipts."""

    def __init__(self, scope: Construct, name: str, **options: Any) -> None:
        super().__init__(scope, name, **options)
        self.orders = dynamodb.Table(
            self,
            "Orders",
            partition_key=dynamodb.Attribute(name="order_id", type=dynamodb.AttributeType.STRING),
            billing_mode=dynamodb.BillingMode.PAY_PER_REQUEST,
        )
        self.receipts = s3.Bucket(
            self,
            "Receipts",
            versioned=True,
            encryption=s3.BucketEncryption.S3_MANAGED,
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
        )
        cdk.CfnOutput(self, "OrdersTable", value=self.orders.table_name)
        cdk.CfnOutput(self, "ReceiptsBucket", value=self.receipts.bucket_name)
